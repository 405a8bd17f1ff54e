// Nothing is asked of other hosts: the validator is one, and what is typed under "Authorize" is forgotten with the page.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
  validatorUrl: null,
});
