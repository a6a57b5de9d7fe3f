// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: threw_after_callback
// value: {"user_id":1}
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  throw new Error('one more thing');
}
