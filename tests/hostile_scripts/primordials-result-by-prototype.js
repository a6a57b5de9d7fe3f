// attack: let every object inherit a result that says ok
// outcome: denied
// reason: wrong_password
function login(email, password, callback) {
  Object.assign(Object.prototype, { ok: true, detail: null, value: { user_id: 'admin' }, violations: [] });
  callback(new WrongUsernameOrPasswordError(email));
}
