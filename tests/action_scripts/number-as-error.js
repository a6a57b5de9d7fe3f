// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: 42
function login(email, password, callback) {
  callback(42);
}
