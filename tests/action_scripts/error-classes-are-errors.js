// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"errors":true,"names":["WrongUsernameOrPasswordError","ValidationError","UnauthorizedError"],"codes":["wrongusernameorpassword","c","unauthorized"],"status":[400,400,401],"described":["m","m"],"wrong_user":"u","heading":"WrongUsernameOrPasswordError: m"}
function login(email, password, callback) {
  const wrong = new WrongUsernameOrPasswordError('u', 'm');
  const invalid = new ValidationError('c', 'm');
  const refused = new UnauthorizedError('m');
  const all = [wrong, invalid, refused];
  callback(null, {
    user_id: 1,
    errors: all.every((error) => error instanceof Error && error.message === 'm'),
    names: all.map((error) => error.name),
    codes: all.map((error) => error.code),
    status: all.map((error) => error.statusCode),
    described: [invalid.description, refused.description],
    wrong_user: wrong.user_id,
    heading: wrong.stack.split('\n')[0],
  });
}
