// action: login
// args: ["alice@example.com","correct horse"]
// outcome: denied
// reason: unauthorized
// message: account is locked
function login(email, password, callback) {
  callback(new UnauthorizedError('account is locked'));
}
