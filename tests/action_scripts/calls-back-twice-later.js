// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: callback_twice
// value: {"user_id":1}
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  setTimeout(callback, 20, null, { user_id: 2 });
}
