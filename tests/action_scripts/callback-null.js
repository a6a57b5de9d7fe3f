// action: login
// args: ["alice@example.com","correct horse"]
// outcome: denied
// reason: wrong_password
function login(email, password, callback) {
  callback(null);
}
