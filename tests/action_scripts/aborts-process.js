// action: login
// args: ["alice@example.com","correct horse"]
// outcome: crashed
// detail: process_exit
// retires: crash
function login(email, password, callback) {
  process.abort();
}
