// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: threw
// message: first
// violations: late_callback
// retires: violation
function login(email, password, callback) {
  setTimeout(callback, 20, null, { user_id: 1 });
  throw new Error('first');
}
