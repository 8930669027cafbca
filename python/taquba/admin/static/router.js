// Which page is shown, and with which parameters: all of it is in the address behind the `#`, so
// that a link can be sent to a colleague.

/** The address of a page. */
export function href(page, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `#/${page}${text ? `?${text}` : ""}`;
}

/** The page and the parameters of the present address. */
export function here() {
  const [, path] = location.hash.match(/^#\/?(.*)$/s) ?? [null, ""];
  const [page, ...query] = path.split("?");
  const parameters = Object.fromEntries(new URLSearchParams(query.join("?")));
  return { page: page || "overview", parameters };
}

/** Goes to a page. */
export function go(page, parameters = {}) {
  location.hash = href(page, parameters);
}

/** Writes the parameters into the address of the page that is shown, which stays as it is. */
export function keep(page, parameters) {
  history.replaceState(null, "", href(page, parameters));
}

/** Calls back at every change of the address. */
export function onChange(callback) {
  window.addEventListener("hashchange", callback);
}
