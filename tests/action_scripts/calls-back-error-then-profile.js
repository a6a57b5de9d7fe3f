// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: first
// retires: violation
// violations: callback_twice
function login(email, password, callback) {
  callback(new Error('first'));
  callback(null, { user_id: 1 });
}
