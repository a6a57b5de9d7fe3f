// action: login
// args: ["alice@example.com","correct horse"]
// outcome: misconfigured
// detail: bind_error
// retires: bind_error
// message: not today
throw new Error('not today');

function login(email, password, callback) {
  callback(null, { user_id: 1 });
}
