"use strict";

/** An element with these properties and children. Text is only ever set as text. */
function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** A schema with its references followed, some levels deep, as text for people. */
function shown(schema, all, depth = 0) {
  if (!schema) return "";
  const pad = "  ".repeat(depth + 1);
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return depth > 3 ? name : shown(all[name], all, depth);
  }
  const parts = schema.allOf || schema.anyOf || schema.oneOf;
  if (parts) {
    const word = schema.allOf ? " & " : " | ";
    return parts.map((part) => shown(part, all, depth)).join(word);
  }
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (schema.items) return "[" + shown(schema.items, all, depth) + "]";
  if (schema.properties) {
    const required = schema.required || [];
    const lines = Object.entries(schema.properties).map(([name, field]) => {
      const mark = required.includes(name) ? "" : "?";
      const note = field.description ? "  // " + field.description.split("\n")[0] : "";
      return pad + name + mark + ": " + shown(field, all, depth + 1) + note;
    });
    return "{\n" + lines.join("\n") + "\n" + pad.slice(2) + "}";
  }
  const type = [].concat(schema.type || "any").join(" | ");
  return schema.format ? type + " (" + schema.format + ")" : type;
}

function bodyOf(content, all) {
  const [kind, media] = Object.entries(content || {})[0] || [];
  return kind ? kind + "\n" + shown(media.schema, all) : "";
}

async function send(method, path, inputs, body, output) {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  const key = document.getElementById("key").value.trim();
  if (key) headers.Authorization = "Bearer " + key;
  for (const [parameter, input] of inputs) {
    if (!input.value) continue;
    if (parameter.in === "path") {
      target = target.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    } else if (parameter.in === "query") {
      query.set(parameter.name, input.value);
    } else {
      headers[parameter.name] = input.value;
    }
  }
  if (body && body.value.trim()) headers["Content-Type"] = "application/json";
  if (query.size) target += "?" + query;
  const began = performance.now();
  output.textContent = method + " " + target + " …";
  try {
    const text = body && body.value.trim() ? body.value : undefined;
    const answer = await fetch(target, { method, headers, body: text });
    let content = await answer.text();
    try {
      content = JSON.stringify(JSON.parse(content), null, 2);
    } catch {
      // It is no JSON: shown as it came.
    }
    const took = Math.round(performance.now() - began);
    output.textContent = answer.status + " in " + took + " ms\n" + content;
  } catch (error) {
    output.textContent = "no answer: " + error.message;
  }
}

/** What is shown of one operation once somebody opens it. */
function inside(method, path, operation, document_) {
  const all = document_.components.schemas;
  const box = make("div", {}, make("p", { textContent: operation.description || "" }));
  const inputs = (operation.parameters || []).map((parameter) => {
    const hint = parameter.schema.default ?? parameter.schema.examples?.[0] ?? parameter.in;
    return [parameter, make("input", { placeholder: String(hint) })];
  });
  const rows = inputs.map(([parameter, input]) => {
    const name = parameter.name + (parameter.required ? "" : "?");
    return make("tr", {},
      make("td", {}, make("code", { textContent: name })),
      make("td", {}, input),
      make("td", { textContent: parameter.description || "" }));
  });
  if (rows.length) box.append(make("table", {}, ...rows));
  let body = null;
  if (operation.requestBody) {
    const media = operation.requestBody.content["application/json"];
    body = make("textarea", { value: JSON.stringify(media.example ?? {}, null, 2) });
    const shape = make("pre", { textContent: shown(media.schema, all) });
    box.append(make("p", { textContent: "Body" }), body, shape);
  }
  const output = make("pre", { textContent: "" });
  const button = make("button", { type: "button", textContent: "Send" });
  button.addEventListener("click", () => send(method, path, inputs, body, output));
  box.append(button, output);
  for (const [status, answer] of Object.entries(operation.responses)) {
    const found = answer.$ref ? document_.components.responses[answer.$ref.split("/").pop()] : answer;
    const brief = Number(status) >= 400 ? "" : "\n" + bodyOf(found.content, all);
    box.append(make("pre", { textContent: status + " " + found.description + brief }));
  }
  return box;
}

function card(method, path, operation, document_) {
  const details = make("details", {},
    make("summary", {},
      make("span", { className: "method " + method, textContent: method.toUpperCase() }),
      make("code", { textContent: path }),
      make("span", { className: "what", textContent: operation.summary })));
  details.addEventListener("toggle", () => {
    details.append(inside(method.toUpperCase(), path, operation, document_));
  }, { once: true });
  details.dataset.words = (method + " " + path + " " + operation.summary).toLowerCase();
  return details;
}

async function begin() {
  const answer = await fetch("/openapi.json");
  const document_ = await answer.json();
  document.getElementById("about").textContent = document_.info.description;
  const main = document.getElementById("operations");
  for (const tag of document_.tags) {
    const section = make("section", {},
      make("h2", { textContent: tag.name }), make("p", { textContent: tag.description }));
    for (const [path, methods] of Object.entries(document_.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(tag.name)) section.append(card(method, path, operation, document_));
      }
    }
    main.append(section);
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const details of main.querySelectorAll("details")) {
      details.hidden = !details.dataset.words.includes(wanted);
    }
  });
}

begin().catch((error) => {
  document.getElementById("about").textContent = "The document can't be read: " + error.message;
});
