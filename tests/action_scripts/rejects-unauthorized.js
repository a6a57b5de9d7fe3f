// action: login
// args: ["alice@example.com","correct horse"]
// outcome: denied
// reason: unauthorized
// message: locked out
async function login(email, password, callback) {
  throw new UnauthorizedError('locked out');
}
