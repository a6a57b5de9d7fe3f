// attack: replace call, apply and bind of all functions
// outcome: any
function login(email, password, callback) {
  const boom = () => {
    throw new Error('patched');
  };
  Function.prototype.call = Function.prototype.apply = Function.prototype.bind = boom;
  Reflect.apply = Reflect.construct = boom;
  callback(null, { user_id: 1 });
}
