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

/** The request that the fields of an operation say. */
function requestOf(method, path, form) {
  const query = new URLSearchParams();
  const headers = {};
  const key = document.getElementById("key").value.trim();
  if (key) headers.Authorization = "Bearer " + key;
  if (form.accept) headers.Accept = form.accept.value;
  let target = path;
  for (const [parameter, input] of form.inputs) {
    if (parameter.in === "path") {
      target = target.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    } else if (!input.value) {
      continue;
    } else if (parameter.in === "query") {
      query.set(parameter.name, input.value);
    } else {
      headers[parameter.name] = input.value;
    }
  }
  if (query.size) target += "?" + query;
  const body = form.body && form.body.value.trim() ? form.body.value : undefined;
  if (body) headers["Content-Type"] = form.kind;
  return [target, { method, headers, body }];
}

/** The text of an answer, shown as it arrives: a stream may never end. */
async function textOf(answer, show) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (done) return text;
    show(text);
  }
}

async function send(method, path, form, output, signal) {
  const [target, request] = requestOf(method, path, form);
  const began = performance.now();
  output.textContent = method + " " + target + " …";
  try {
    const answer = await fetch(target, { ...request, signal });
    const show = (text) => {
      const took = Math.round(performance.now() - began);
      output.textContent = answer.status + " in " + took + " ms\n" + text;
    };
    let text = answer.body ? await textOf(answer, show) : "";
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // It is no JSON: shown as it came.
    }
    show(text);
  } catch (error) {
    output.textContent += signal.aborted ? "\n(stopped)" : "\nno answer: " + error.message;
  }
}

/** The button that sends, and while an answer is on its way stops. */
function sender(method, path, form, output) {
  const button = make("button", { type: "button", textContent: "Send" });
  let stop = null;
  button.addEventListener("click", async () => {
    if (stop) {
      stop.abort();
      return;
    }
    stop = new AbortController();
    button.textContent = "Stop";
    await send(method, path, form, output, stop.signal);
    stop = null;
    button.textContent = "Send";
  });
  return button;
}

/** A choice of what the answer is to be, where there is one. */
function choice(operation) {
  const kinds = Object.keys(operation.responses["200"]?.content || {});
  if (kinds.length < 2) return null;
  return make("select", {}, ...kinds.map((kind) => make("option", { textContent: kind })));
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
  const form = { inputs, accept: choice(operation), body: null, kind: "" };
  if (operation.requestBody) {
    const [kind, media] = Object.entries(operation.requestBody.content)[0];
    const example = media.example === undefined ? "" : JSON.stringify(media.example, null, 2);
    form.kind = kind;
    form.body = make("textarea", { value: example });
    const shape = make("pre", { textContent: shown(media.schema, all) });
    box.append(make("p", { textContent: "Body: " + kind }), form.body, shape);
  }
  const output = make("pre", { textContent: "", className: "answer" });
  if (form.accept) box.append(make("label", { textContent: "As " }, form.accept));
  box.append(sender(method, path, form, output), output);
  for (const [status, answer] of Object.entries(operation.responses)) {
    const found = answer.$ref ? document_.components.responses[answer.$ref.split("/").pop()] : answer;
    const brief = Number(status) >= 400 ? "" : "\n" + bodyOf(found.content, all);
    box.append(make("pre", { textContent: status + " " + found.description + brief }));
  }
  return box;
}

function card(method, path, operation, document_) {
  const details = make("details", { id: operation.operationId },
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
    for (const section of main.querySelectorAll("section")) {
      const all = [...section.querySelectorAll("details")];
      for (const details of all) details.hidden = !details.dataset.words.includes(wanted);
      section.hidden = all.every((details) => details.hidden);
    }
  });
}

begin().catch((error) => {
  document.getElementById("about").textContent = "The document can't be read: " + error.message;
});
