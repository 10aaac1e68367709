/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the viewer on this server's own definition. Nothing is loaded from elsewhere, and tokens
 * typed under "Authorize" are forgotten with the page. */
'use strict';

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const followScheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', followScheme);
followScheme();

window.SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  /* Null, else the viewer sends the definition's address to a service of its makers. */
  validatorUrl: null,
});
