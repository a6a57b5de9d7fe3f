// action: login
// args: ["alice@example.com","correct horse"]
// outcome: denied
// reason: validation
// message: too weak
class ValidationError extends Error {
  constructor(error, message) {
    super(message);
    this.name = 'ValidationError';
    this.error = error;
  }
}

function login(email, password, callback) {
  callback(new ValidationError('weak', 'too weak'));
}
