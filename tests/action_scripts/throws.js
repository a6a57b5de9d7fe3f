// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: x is not defined
function login(email, password, callback) {
  return x + 1;
}
