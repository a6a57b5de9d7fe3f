// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: crash
// value: {"user_id":1}
function login(email, password, callback) {
  callback(null, { user_id: 1 });
  process.exit(0);
}
