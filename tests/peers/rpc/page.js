// XMLHttpRequest as a page has it (xhr.spec.whatwg.org), where xhr2 does otherwise: text can be read while it comes, which is told with
// each piece of it ("handle response body"), and an answer that breaks off has the status 0 ("network error").
"use strict";

const XMLHttpRequest = require("xhr2");

globalThis.XMLHttpRequest = class extends XMLHttpRequest {
  _onHttpResponseData(response, data) {
    super._onHttpResponseData(response, data);
    if (this._response !== response || this.responseType !== "") return;
    this.responseText = Buffer.concat(this._responseParts).toString("latin1");
    this._setReadyState(XMLHttpRequest.LOADING);
  }

  _setError() {
    super._setError();
    this.status = 0;
    this.statusText = "";
  }
};
