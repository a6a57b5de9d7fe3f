// action: login
// args: ["alice@example.com","correct horse"]
// outcome: misconfigured
// detail: bind_error
// retires: bind_error
// message: Unexpected end of input
function login(email, password, callback) {
  callback(null, { user_id: 1 });
