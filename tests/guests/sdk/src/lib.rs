//! A foreign filter on the official SDK: it greets by its configuration, asks another cluster about each request, counts across
//! its contexts, and rewrites bodies.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { greeting: String::new() }));
}}

struct Root {
    greeting: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        self.greeting = String::from_utf8_lossy(&bytes).into_owned();
        info!("configured: {}", self.greeting);
        self.greeting != "no"
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { greeting: self.greeting.clone() }))
    }
}

struct Stream {
    greeting: String,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body: usize, trailers: usize) {
        let bytes = self.get_http_call_response_body(0, body).unwrap_or_default();
        info!("answer: any headers {}, {}, trailers {trailers}", headers > 0, String::from_utf8_lossy(&bytes));
        self.set_http_request_header("x-t-answer", Some(&String::from_utf8_lossy(&bytes)));
        self.resume_http_request();
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, end: bool) -> Action {
        let (value, cas) = self.get_shared_data("count");
        let count = value.and_then(|bytes| bytes.first().copied()).unwrap_or(0) + 1;
        info!("request {count}, end {end}, path {:?}", self.get_http_request_header(":path"));
        self.set_shared_data("count", Some(&[count]), cas).ok();
        self.set_http_request_header("x-t-greeting", Some(&self.greeting.clone()));
        self.set_http_request_header("content-length", None);
        if self.get_http_request_header("x-t-deny").is_some() {
            self.send_http_response(403, vec![("x-t-denied", "yes")], Some(b"no"));
            return Action::Pause;
        }
        let ask = vec![(":method", "GET"), (":path", "/callout"), (":authority", "p")];
        match self.dispatch_http_call("upstream", ask, None, vec![], Duration::from_secs(1)) {
            Ok(_) => Action::Pause,
            Err(status) => {
                info!("no callout: {status:?}");
                Action::Continue
            }
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        info!("body {size}, end {end}");
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.set_http_request_body(0, size, &[b"<", &body[..], b">"].concat());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.set_http_response_header("content-length", None);
        self.add_http_response_header("x-t-greeted", &self.greeting.clone());
        Action::Continue
    }

    fn on_log(&mut self) {
        info!("code {:?}", self.get_property(vec!["response", "code"]).map(|bytes| bytes.len()));
    }
}
