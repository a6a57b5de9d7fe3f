// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: uncaught_exception
function login(email, password, callback) {
  setImmediate(() => {
    throw new WrongUsernameOrPasswordError(email, 'nobody can say whose this is');
  });
}
