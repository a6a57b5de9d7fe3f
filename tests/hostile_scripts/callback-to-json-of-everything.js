// attack: give every object a toJSON, so that frames become something else
// outcome: any
function login(email, password, callback) {
  Object.prototype.toJSON = String.prototype.toJSON = () => ({ user_id: 'forged', t: 'exit' });
  callback(null, { user_id: 1 });
}
