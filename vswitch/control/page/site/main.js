// The page: takes the token out of the address, connects, and draws.
import { render } from "./vendor/preact.js";
import { App } from "./app.js";
import { html } from "./html.js";
import { connect } from "./connection.js";
import { takeToken } from "./token.js";

takeToken();
render(html`<${App} />`, document.getElementById("page"));
connect();
