// action: login
// args: ["alice@example.com","correct horse"]
// outcome: crashed
// detail: process_died
// retires: crash
// message: SIGKILL
function login(email, password, callback) {
  process.kill(process.pid, 'SIGKILL');
}
