// Validates documents with AsyncAPI's own parser: `ASYNCAPI_TOOLS=…/node_modules node validate.mjs FILE…`.
//
// A line for each file, and one for each thing that the parser finds in it, be it an error or not.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const tools = createRequire(`${process.env.ASYNCAPI_TOOLS}/`);
const { Parser } = tools("@asyncapi/parser");
const { AvroSchemaParser } = tools("@asyncapi/avro-schema-parser");
const { ProtoBuffSchemaParser } = tools("@asyncapi/protobuf-schema-parser");

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
parser.registerSchemaParser(ProtoBuffSchemaParser());

/** What is good advice for a person who writes a document, and not wrong in one. */
const ADVICE = new Set([
  "asyncapi-latest-version",
  "asyncapi-info-contact",
  "asyncapi-info-contact-properties",
  "asyncapi-info-description",
  "asyncapi-info-license",
  "asyncapi-info-license-url",
  "asyncapi-id",
  "asyncapi-tags",
  "asyncapi-unused-component",
  "asyncapi3-tags",
]);

for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(readFileSync(file, "utf8"));
  const wrong = diagnostics.filter((found) => !ADVICE.has(found.code));
  for (const found of wrong) {
    console.log(`not ok ${file} ${found.path.join(".")}: ${found.code}: ${found.message}`);
  }
  if (!document) {
    console.log(`not ok ${file}: it is no document`);
  } else if (wrong.length === 0) {
    const counts = ["channels", "operations", "messages"].map((what) => `${what}=${document[what]().all().length}`);
    console.log(`ok ${file} ${counts.join(" ")}`);
  }
}
