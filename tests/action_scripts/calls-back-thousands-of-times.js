// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: callback_twice
// value: {"user_id":1}
function login(email, password, callback) {
  for (let i = 1; i < 10000; i++) callback(null, { user_id: i });
}
