// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// deadline: 1.0
// retires: timeout
// message: exceeded allowed execution time
// outcome: timed_out
// detail: cpu_bound
function login(email, password, callback) {
  process.nextTick(login, email, password, callback);
}
