// What this switch can do, from its own description.
import { useEffect, useState } from "../vendor/hooks.js";
import { call } from "../api.js";

/** The OpenAPI document; null until it is here, or where it cannot be had. */
export function useDocument() {
  const [document, setDocument] = useState(null);
  useEffect(() => {
    let over = false;
    call("GET", "/v1/openapi.json").then((found) => over || setDocument(found), () => {});
    return () => {
      over = true;
    };
  }, []);
  return document;
}

/** The operation, if the switch has it. @param {any} document @param {string} method @param {string} path */
export const operation = (document, method, path) => document?.paths?.[path]?.[method] ?? null;

/** A schema with its references followed. @param {any} document @param {any} schema */
export function resolved(document, schema) {
  const name = schema?.$ref?.split("/").at(-1);
  if (name) return resolved(document, document.components.schemas[name]);
  const choice = schema?.anyOf?.find((each) => each.type !== "null");
  return choice ? resolved(document, choice) : schema;
}
