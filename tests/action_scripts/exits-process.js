// action: login
// args: ["alice@example.com","correct horse"]
// outcome: crashed
// detail: process_exit
// retires: crash
// message: process.exit(3)
function login(email, password, callback) {
  process.exit(3);
}
