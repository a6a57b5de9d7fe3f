// attack: a profile of a hundred thousand keys
// outcome: any
function login(email, password, callback) {
  const profile = { user_id: 1 };
  for (let key = 0; key < 1e5; key++) profile[`k${key}`] = 0;
  callback(null, profile);
}
