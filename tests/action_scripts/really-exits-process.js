// action: login
// args: ["alice@example.com","correct horse"]
// outcome: crashed
// detail: process_exit
// retires: crash
// message: process.exit(0)
function login(email, password, callback) {
  setTimeout(() => process.reallyExit(0), 1);
}
