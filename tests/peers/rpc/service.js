// The service of the peers, described at run time: nothing is generated, and its messages are those that every runtime has.
"use strict";

const { create, createFileRegistry, fromBinary, toBinary } = require("@bufbuild/protobuf");
const { FileDescriptorProtoSchema, StringValueSchema, file_google_protobuf_wrappers } = require("@bufbuild/protobuf/wkt");

const text = ".google.protobuf.StringValue";
const method = (name, more) => ({ name, inputType: text, outputType: text, ...more });
// Connect's GET is for methods that say that they change nothing.
const reading = (name) => method(name, { options: { idempotencyLevel: 1 } });
const feed = (name) => method(name, { serverStreaming: true });
const talk = (name) => method(name, { clientStreaming: true, serverStreaming: true });

// One method for each form, under a policy that takes it in that form alone.
const forms = ["InGrpc", "InGrpcWeb", "InGrpcWebText", "InConnect", "InConnectGet"];

const file = create(FileDescriptorProtoSchema, {
  name: "users/v1/users.proto",
  package: "users.v1",
  syntax: "proto3",
  dependency: ["google/protobuf/wrappers.proto"],
  service: [
    {
      name: "Users",
      method: [
        ...["Get", "Wait", ...forms].map(reading),
        method("Delete"),
        ...["List", "Watch", "Spy"].map(feed),
        ...["Talk", "Shout"].map(talk),
      ],
    },
  ],
});

const Users = createFileRegistry(file, () => file_google_protobuf_wrappers).getService("users.v1.Users");
const message = (value) => create(StringValueSchema, { value });
const encode = (value) => toBinary(StringValueSchema, message(value));
const decode = (bytes) => fromBinary(StringValueSchema, new Uint8Array(bytes)).value;

module.exports = { Users, forms, message, encode, decode };
