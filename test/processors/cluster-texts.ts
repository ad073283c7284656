/** What people write to a shop, by what it is about. */
export const textsByTopic: Readonly<Record<string, readonly string[]>> = {
  delivery: [
    'My parcel has not arrived yet, it was due on Monday.',
    'The tracking page has said "in transit" for nine days.',
    'The courier left the package with a neighbour I do not know.',
    'When will my order be delivered?',
    'The parcel was damaged when the driver handed it over.',
    'Tracking number does not work, is the parcel lost?',
    'You shipped my order to my old address.',
    'Can the delivery be moved to Saturday?',
    'The driver claims that nobody was at home, but I waited all day.',
    'My package is stuck in customs, what now?',
    'Half of the order was delivered, where is the second parcel?',
    'How long does shipping to Norway take?',
  ],
  billing: [
    'I was charged twice for the same order.',
    'Where can I download the invoice for my purchase?',
    'The refund has not reached my bank account.',
    'My credit card was declined although it is valid.',
    'The invoice shows the wrong VAT number.',
    'Please refund the amount, I cancelled the payment.',
    'The total on my bill is higher than the price on the page.',
    'Can I pay by bank transfer instead of by card?',
    'My statement shows a payment that I never made.',
    'The voucher was not taken off the amount I had to pay.',
    'Our accounting needs the invoice with the company name.',
    'You owe me money: the refund is still missing after two weeks.',
  ],
  login: [
    'I forgot my password and the reset mail does not come.',
    'My account is locked after too many attempts to sign in.',
    'The login page says that my password is wrong.',
    'I lost the phone with my two-factor codes.',
    'Cannot log in to my account since yesterday.',
    'The link to reset the password has expired.',
    'How do I change the e-mail address of my account?',
    'Someone else has signed in to my account.',
    'The verification code is never accepted.',
    'I get logged out again and again.',
    'Please unlock my user account, I know the password now.',
    'The authenticator app gives codes that do not let me sign in.',
  ],
  crash: [
    'The app crashes as soon as I open it.',
    'After the update the app freezes on the start screen.',
    'The Android app closes by itself when I scroll.',
    'Your app shows a white screen on my iPhone.',
    'The new version of the app drains my battery and hangs.',
    'App crashed three times while I was browsing.',
    'The app does not start any more after the latest update.',
    'Pictures do not load in the app and then it freezes.',
    'There is a bug in the app: the search button does nothing.',
    'Since version 5 the app is terribly slow on my tablet.',
    'The app stops responding when I turn the phone.',
    'I reinstalled the app and it still crashes at launch.',
  ],
  fit: [
    'The trousers are far too tight, which size should I take?',
    'Do these shoes run small?',
    'The jacket is too wide at the shoulders for a medium.',
    'What size is right for someone 1.80 m tall?',
    'The sleeves of the shirt are too short for me.',
    'The dress fits well but is too long.',
    'Is the coat cut narrow? I am between M and L.',
    'The boots hurt at the heel, do you have half sizes?',
    'The jeans are loose at the waist, I need a smaller size.',
    'The size chart is not right: the sweater is huge.',
    'Which shoe size corresponds to a foot of 27 cm?',
    'The skirt is two sizes smaller than the label says.',
  ],
  newsletter: [
    'Please stop sending me advertising mails.',
    'How do I unsubscribe from the newsletter?',
    'I get your newsletter three times a week, that is too much.',
    'The unsubscribe link in your mails leads nowhere.',
    'I never subscribed to this mailing list.',
    'Take my address off your mailing list.',
    'I want to receive the newsletter with offers again.',
    'Your promotional mails end up in my spam folder.',
    'Why do I still get marketing mails after I unsubscribed?',
    'Please send me fewer promotions by mail.',
    'Can I subscribe to the newsletter in French?',
    'This is spam: I did not agree to any advertising.',
  ],
}

/** All of them, in an order that is mixed and always the same. */
export function shuffledTexts(seed: number): { readonly topic: string; readonly text: string }[] {
  const all = Object.entries(textsByTopic).flatMap(([topic, texts]) => texts.map((text) => ({ topic, text })))
  const random = randomFrom(seed)
  return all
    .map((one) => ({ one, at: random() }))
    .sort((left, right) => left.at - right.at)
    .map(({ one }) => one)
}

/** Numbers from 0 to 1 (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
