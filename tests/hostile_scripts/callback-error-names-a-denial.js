// attack: name an error like a denial, so that a fault reads as a wrong password
// outcome: any
function login(email, password, callback) {
  callback({ name: 'WrongUsernameOrPasswordError', message: { toString: () => 'x' }, code: ['a'], user_id: { $gt: '' } });
}
