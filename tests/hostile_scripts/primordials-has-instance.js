// attack: let nothing be an instance of a denial, so that a denial looks like a fault
// outcome: denied
// reason: wrong_password
function login(email, password, callback) {
  Object.defineProperty(WrongUsernameOrPasswordError, Symbol.hasInstance, { value: () => { throw new Error('x'); } });
  const error = Object.create(WrongUsernameOrPasswordError.prototype);
  callback(error);
}
