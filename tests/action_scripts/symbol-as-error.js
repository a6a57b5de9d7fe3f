// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: Symbol(oops)
function login(email, password, callback) {
  callback(Symbol('oops'));
}
