// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: fault_after_callback
// violations: fault_after_callback
// value: {"user_id":1}
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  setTimeout(() => Promise.reject('when all was said'), 20);
}
