// action: login
// args: ["alice@example.com","correct horse"]
// outcome: crashed
// detail: process_died
// retires: crash
function login(email, password, callback) {
  require('fs').closeSync(3);
  callback(null, { user_id: 1 });
}
