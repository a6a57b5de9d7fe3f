// action: login
// args: ["alice@example.com","correct horse"]
// outcome: denied
// reason: wrong_password
// message: no such luck
function login(email, password, callback) {
  callback(new WrongUsernameOrPasswordError(email, 'no such luck'));
}
