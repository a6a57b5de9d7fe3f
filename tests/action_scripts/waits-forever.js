// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// deadline: 1.0
// retires: timeout
// message: exceeded allowed execution time
// outcome: timed_out
// detail: waiting
function login(email, password, callback) {
  setTimeout(callback, 1e9, null, { user_id: 1 });
}
