// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: the database is on fire
function login(email, password, callback) {
  callback(new Error('the database is on fire'));
}
