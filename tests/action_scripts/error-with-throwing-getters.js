// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
function login(email, password, callback) {
  const error = new Error('readable');
  for (const field of ['name', 'message', 'code', 'stack', 'description']) {
    Object.defineProperty(error, field, {
      get() {
        throw new Error('no');
      },
    });
  }
  callback(error);
}
