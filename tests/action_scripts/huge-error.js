// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: mmmmmm
function login(email, password, callback) {
  const error = new Error('m'.repeat(5e6));
  error.code = 'c'.repeat(5e6);
  callback(error);
}
