// action: login
// args: ["alice@example.com","correct horse"]
// outcome: denied
// reason: wrong_password
// message: thrown
function login(email, password, callback) {
  throw new WrongUsernameOrPasswordError(email, 'thrown');
}
