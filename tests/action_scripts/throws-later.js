// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: uncaught_exception
// message: from a timer
function login(email, password, callback) {
  setTimeout(() => {
    throw new Error('from a timer');
  }, 1);
}
