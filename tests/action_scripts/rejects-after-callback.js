// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: rejected_after_callback
// value: {"user_id":1}
async function login(email, password, callback) {
  callback(null, { user_id: 1 });
  throw new Error('one more thing');
}
