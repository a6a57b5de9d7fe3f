// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: rejected
function login(email, password, callback) {
  return Promise.reject();
}
