// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: uncaught_exception
// message: too early
function login(email, password, callback) {
  setTimeout(() => {
    throw new Error('too early');
  }, 1);
  setTimeout(callback, 1e6, null, { user_id: 1 });
}
