// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: null
function login(email, password, callback) {
  throw null;
}
