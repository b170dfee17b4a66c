// The API's own page: lists the endpoints of the OpenAPI document, tells what each takes, and tries it on this session.
// Whatever an answer holds is shown as text.
"use strict";

(() => {
  const page = document.getElementById("explorer");
  if (!page) return;
  const RANK = { viewer: 0, operator: 1, admin: 2 };
  const role = page.dataset.role;
  const words = page.dataset;

  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    for (const child of children) element.append(child);
    return element;
  };

  const resolve = (schema, known) => {
    if (schema && schema.$ref) return known[schema.$ref.split("/").pop()] || {};
    return schema || {};
  };

  const kind = (schema, known) => {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.enum) return schema.enum.join(" | ");
    if (schema.const !== undefined) return String(schema.const);
    if (schema.anyOf) return schema.anyOf.map((each) => kind(each, known)).join(" | ");
    if (schema.type === "array") return `[${kind(schema.items || {}, known)}]`;
    return schema.type || "any";
  };

  const limits = (schema) => {
    const told = [];
    for (const name of ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default"]) {
      if (schema[name] !== undefined) told.push(`${name} ${JSON.stringify(schema[name])}`);
    }
    return told.join(", ");
  };

  const example = (schema, known, depth) => {
    const found = resolve(schema, known);
    if (found.default !== undefined) return found.default;
    if (found.enum) return found.enum[0];
    if (found.anyOf) return example(found.anyOf[0], known, depth);
    if (found.type === "array") return [];
    if (found.type === "integer" || found.type === "number") return found.minimum || 0;
    if (found.type === "boolean") return false;
    if (found.type !== "object" || depth > 3) return found.type === "object" ? {} : "";
    const wanted = new Set([...(found.required || []), ...((found.oneOf || [{}])[0].required || [])]);
    const made = {};
    for (const [name, inner] of Object.entries(found.properties || {})) {
      if (wanted.has(name)) made[name] = example(inner, known, depth + 1);
    }
    return made;
  };

  const fields = (schema, known) => {
    const table = make("table", { class: "fields" });
    for (const [name, inner] of Object.entries(schema.properties || {})) {
      const about = [inner.description, limits(inner)].filter(Boolean).join(" — ");
      table.append(
        make("tr", {}, make("th", { scope: "row" }, make("code", {}, name)), make("td", {}, kind(inner, known)),
          make("td", {}, about)),
      );
    }
    return table;
  };

  const input = (parameter, prefix, known) => {
    const id = `${prefix}-${parameter.name}`;
    const schema = parameter.schema || {};
    const several = schema.type === "array";
    const choices = several ? (resolve(schema.items, known).enum || null) : schema.enum;
    let control;
    if (choices) {
      control = make("select", several ? { id, multiple: "" } : { id });
      if (!several) control.append(make("option", { value: "" }, ""));
      for (const choice of choices) control.append(make("option", { value: choice }, choice));
    } else {
      control = make("input", { id, autocomplete: "off", spellcheck: "false", placeholder: kind(schema, known) });
      if (parameter.required) control.setAttribute("required", "");
    }
    control.dataset.name = parameter.name;
    control.dataset.place = parameter.in;
    const about = [parameter.description, limits(schema)].filter(Boolean).join(" — ");
    return make("div", { class: "field" }, make("label", { for: id }, parameter.name), control,
      make("small", {}, about));
  };

  const address = (path, form) => {
    const query = new URLSearchParams();
    let made = path;
    for (const control of form.querySelectorAll("[data-place]")) {
      const values = control.multiple ? [...control.selectedOptions].map((option) => option.value) : [control.value];
      for (const value of values.filter((each) => each !== "")) {
        if (control.dataset.place === "path") made = made.replace(`{${control.dataset.name}}`, encodeURIComponent(value));
        else query.append(control.dataset.name, value);
      }
    }
    const text = query.toString();
    return text ? `${made}?${text}` : made;
  };

  const send = async (method, path, form, said, shown) => {
    const body = form.querySelector("textarea");
    const options = { method, credentials: "same-origin", redirect: "error", headers: { Accept: "application/json" } };
    if (body) {
      options.headers["Content-Type"] = "application/json";
      options.body = body.value;
    }
    const url = address(path, form);
    said.textContent = `${method} ${url} …`;
    shown.textContent = "";
    const began = performance.now();
    try {
      const answer = await fetch(url, options);
      const text = await answer.text();
      said.textContent = `${method} ${url} — ${answer.status}, ${Math.round(performance.now() - began)} ms`;
      try {
        shown.textContent = JSON.stringify(JSON.parse(text), null, 2);
      } catch {
        shown.textContent = text;
      }
    } catch {
      said.textContent = words.failed;
    }
  };

  const tryIt = (method, path, operation, prefix, known) => {
    const said = make("p", { class: "said", role: "status" });
    const shown = make("pre", { class: "answer", tabindex: "0" });
    const form = make("form", { class: "try" });
    for (const parameter of operation.parameters || []) form.append(input(parameter, prefix, known));
    if (operation.requestBody) {
      const schema = operation.requestBody.content["application/json"].schema;
      const area = make("textarea", { id: `${prefix}-body`, rows: "8", spellcheck: "false" });
      area.value = JSON.stringify(example(schema, known, 0), null, 2);
      form.append(fields(resolve(schema, known), known), make("label", { for: area.id }, words.body), area);
    }
    const button = make("button", { type: "submit" }, words.send);
    if ((RANK[role] ?? -1) < (RANK[operation["x-role"]] ?? 9)) {
      button.disabled = true;
      button.title = operation.description;
      said.textContent = operation.description;
    }
    form.append(button);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(method.toUpperCase(), path, form, said, shown);
    });
    return [form, said, shown];
  };

  const show = (method, path, operation, known) => {
    const prefix = operation.operationId;
    const answers = make("ul", { class: "answers" });
    for (const [status, answer] of Object.entries(operation.responses)) {
      answers.append(make("li", {}, make("code", {}, status), ` ${answer.description}`));
    }
    const good = ((operation.responses["200"] || {}).content || {})["application/json"];
    const details = make("details", { id: `op-${prefix}`, class: "operation" },
      make("summary", {}, make("code", { class: `method ${method}` }, method.toUpperCase()), " ",
        make("code", {}, path), ` ${operation.summary}`));
    details.addEventListener("toggle", () => {
      if (!details.open || details.childElementCount > 1) return;
      details.append(make("p", {}, operation.description), ...tryIt(method, path, operation, prefix, known),
        make("h3", {}, words.answers), answers);
      if (good) details.append(fields(resolve(good.schema, known), known));
    });
    return details;
  };

  const load = async () => {
    const answer = await fetch(words.document, { credentials: "same-origin", headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const told = await answer.json();
    const known = told.components.schemas;
    page.textContent = "";
    for (const tag of told.tags) {
      const section = make("section", {}, make("h2", {}, tag.name), make("p", {}, tag.description));
      for (const [path, operations] of Object.entries(told.paths)) {
        for (const [method, operation] of Object.entries(operations)) {
          if (operation.tags.includes(tag.name)) section.append(show(method, path, operation, known));
        }
      }
      page.append(section);
    }
    const asked = document.getElementById(location.hash.slice(1));
    if (asked) asked.scrollIntoView();
  };

  load().catch(() => { page.textContent = words.failed; });
})();
