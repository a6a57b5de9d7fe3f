// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: no luck today
function login(email, password, callback) {
  callback('no luck today');
}
