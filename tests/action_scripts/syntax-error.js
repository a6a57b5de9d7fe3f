// action: login
// args: ["alice@example.com","correct horse"]
// outcome: misconfigured
// detail: bind_error
// retires: bind_error
// message: login, line 8
function login(email, password, callback) {
  const user = { email: ;
  callback(null, user);
}
